const uvicorn = (name, args) => ({
  name,
  script: '/usr/bin/python3',
  interpreter: 'none',
  args: `-m uvicorn web:app ${args}`,
  instances: 2,
  env: { PYTHONPATH: '/srv/python' },
});
module.exports = {
  apps: [
    uvicorn('loopback', '--port 3000'),
    uvicorn('every', '--host 0.0.0.0 --port 3001'),
    uvicorn('workers', '--host 0.0.0.0 --port 3002 --workers 2'),
  ],
};
