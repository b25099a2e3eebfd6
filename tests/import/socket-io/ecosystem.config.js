module.exports = [
  { name: 'chat', script: 'chat.js', exec_mode: 'cluster', instances: 4, increment_var: 'PORT', env: { PORT: 5000 }, env_production: { PORT: 6000 } },
];
