require('reflect-metadata');
const { NestFactory } = require('@nestjs/core');
const { Controller, Get, Module } = require('@nestjs/common');

class Root {
  hello() {
    return `nest ${process.env.MODE} ${process.pid}`;
  }
}
// The decorators, as TypeScript compiles them.
Get()(Root.prototype, 'hello', Object.getOwnPropertyDescriptor(Root.prototype, 'hello'));
Controller()(Root);
class App {}
Module({ controllers: [Root] })(App);

(async () => {
  const app = await NestFactory.create(App, { logger: ['error'] });
  app.enableShutdownHooks();
  await app.listen(process.env.PORT);
  if (process.send) process.send('ready');
})();
