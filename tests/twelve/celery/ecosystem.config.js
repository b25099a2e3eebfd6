module.exports = {
  apps: [
    {
      name: 'celery',
      script: '/usr/bin/python3',
      interpreter: 'none',
      args: '-m celery -A tasks worker --concurrency 1 -l info',
      env: { PYTHONPATH: '/srv/python' },
    },
    { name: 'worker', script: 'worker.js', instances: 2 },
  ],
};
