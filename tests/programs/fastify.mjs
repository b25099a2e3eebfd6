import Fastify from 'fastify';
import { setTimeout } from 'node:timers/promises';

const fastify = Fastify();
fastify.get('/', async () => {
  await setTimeout(20);
  return `pid ${process.pid}`;
});
await fastify.listen({ port: 3000, host: '::' });
