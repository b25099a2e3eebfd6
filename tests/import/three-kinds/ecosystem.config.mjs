export default {
  apps: [
    { name: 'api', script: 'api.js', instances: -1, env: { HOST: '127.0.0.1', PORT: '3000' } },
    { name: 'mailer', script: 'mailer.js' },
    { name: 'cleanup', script: 'cleanup.js', cron_restart: '0 3 * * *', autorestart: false },
  ],
};
