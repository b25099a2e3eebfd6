module.exports = {
  apps: [{ name: 'chat', script: 'server.js', exec_mode: 'cluster', instances: 4, env: { PORT: 3000 } }],
};
