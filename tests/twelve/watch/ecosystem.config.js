module.exports = {
  apps: [
    {
      name: 'watched',
      script: 'api.js',
      exec_mode: 'cluster',
      instances: 2,
      watch: true,
      ignore_watch: ['node_modules'],
      max_memory_restart: '300M',
      cron_restart: '0 4 * * *',
      env: { PORT: 3000 },
    },
  ],
};
