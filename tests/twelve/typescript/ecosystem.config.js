const port = (number) => ({ PORT: number });
const cluster = { instances: 2, exec_mode: 'cluster' };
module.exports = {
  apps: [
    { name: 'loader', script: 'server.ts', interpreter: 'node', interpreter_args: '--import tsx', env: port(3000), ...cluster },
    {
      name: 'tsnode',
      script: 'server.ts',
      interpreter: 'node',
      interpreter_args: '-r ts-node/register/transpile-only',
      env: port(3001),
      ...cluster,
    },
    { name: 'tsx', script: 'node_modules/.bin/tsx', args: 'server.ts', env: port(3002) },
    { name: 'npm', script: 'npm', args: 'start', env: port(3003) },
  ],
};
