module.exports = {
  apps: [
    { name: 'dev', script: 'server.js', watch: ['src', 'views'], ignore_watch: ['node_modules', 'tmp'], watch_delay: 1000, watch_options: { followSymlinks: false } },
    { name: 'live', script: 'server.js', watch: false, ignore_watch: ['tmp'] },
  ],
};
