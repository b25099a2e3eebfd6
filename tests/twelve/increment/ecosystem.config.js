module.exports = {
  apps: [{ name: 'shard', script: 'api.js', instances: 3, increment_var: 'PORT', env: { PORT: 3000 } }],
};
