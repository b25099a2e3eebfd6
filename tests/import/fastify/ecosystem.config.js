module.exports = {
  apps: [
    { name: 'local', script: 'server.js', wait_ready: true, env: { HOST: 'localhost', PORT: 3000 } },
    { name: 'file', script: 'server.js', wait_ready: true, uid: 33, env: { PORT: '/run/file/app.sock' } },
  ],
};
