module.exports = {
  apps: [{ script: 'game.js', name: 'game server', instances: 3, exec_mode: 'fork', instance_var: 'ID', increment_var: 'SLOT' }],
};
