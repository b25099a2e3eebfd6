module.exports = {
  apps: [
    {
      name: 'nest',
      script: 'main.js',
      instances: 2,
      exec_mode: 'cluster',
      wait_ready: true,
      listen_timeout: 10000,
      kill_timeout: 5000,
      env: { PORT: 3000, MODE: 'dev' },
      env_production: { MODE: 'live' },
    },
  ],
};
