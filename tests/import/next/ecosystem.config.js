module.exports = {
  apps: [
    { name: 'shop', script: 'npm', args: 'start', env: { PORT: 3000, NODE_ENV: 'production' } },
    {
      name: 'blog',
      cwd: './blog',
      script: './node_modules/.bin/next',
      args: 'start -p 3001',
      exec_mode: 'cluster',
      instances: 'max',
    },
    {
      name: 'nuxt',
      port: '3002',
      exec_mode: 'cluster',
      instances: 'max',
      script: './.output/server/index.mjs',
    },
  ],
};
