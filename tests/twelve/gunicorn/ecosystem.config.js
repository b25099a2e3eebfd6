const gunicorn = (name, bind) => ({
  name,
  script: '/usr/bin/python3',
  interpreter: 'none',
  args: `-m gunicorn web:app --workers 2 --bind ${bind}`,
  instances: 2,
  env: { PYTHONPATH: '/srv/python' },
});
module.exports = { apps: [gunicorn('tcp', '0.0.0.0:3000'), gunicorn('file', 'unix:/run/shop/web.sock')] };
