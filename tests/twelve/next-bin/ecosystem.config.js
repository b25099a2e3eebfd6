module.exports = {
  apps: [
    {
      name: 'shop',
      cwd: '/srv/next',
      script: 'node_modules/.bin/next',
      args: 'start -p 3001',
      exec_mode: 'cluster',
      instances: 'max',
      env: { NODE_ENV: 'production' },
    },
  ],
};
