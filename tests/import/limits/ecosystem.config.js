module.exports = {
  apps: [
    { name: 'big', script: 'big.js', maxMemoryRestart: '1G', cronRestart: '0 4 * * 0', nodeArgs: ['--max-old-space-size=900'], env: { PORT: 3000 } },
    { name: 'bytes', script: 'small.js', max_memory_restart: 157286400, cron: '', autostart: false, namespace: 'batch', vizion: false, filter_env: ['AWS'] },
    { name: 'wrong', script: 'x.js', max_memory_restart: 'a lot', kill_timeout: '-1', instances: {}, wait_ready: 'yes', err_file: 7 },
  ],
};
