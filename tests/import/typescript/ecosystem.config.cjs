module.exports = {
  apps: [
    { name: 'tsx', script: 'src/server.ts', interpreter: 'node', interpreterArgs: '--import tsx', instances: 2, env: { PORT: 4000 } },
    { name: 'ts-node', script: 'src/server.ts', interpreter: './node_modules/.bin/ts-node', env: { PORT: 4001 } },
    { name: 'plain', script: 'src/server.ts', env: { PORT: 4002 } },
  ],
};
