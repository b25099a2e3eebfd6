module.exports = {
  apps: [
    { name: 'api', script: 'api.js', exec_mode: 'cluster', instances: 2, env: { PORT: 3000 } },
    { name: 'mailer', script: 'mailer.js' },
    { name: 'cleanup', script: 'cleanup.js', cron_restart: '0 3 * * *', autorestart: false },
  ],
};
