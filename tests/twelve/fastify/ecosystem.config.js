const app = { script: 'server.js', exec_mode: 'cluster', instances: 2, wait_ready: true };
module.exports = {
  apps: [
    { name: 'local', ...app },
    { name: 'file', ...app, env: { SOCKET: '/srv/fastify/app.sock' } },
  ],
};
