const app = require('fastify')();
app.get('/', async () => `fastify ${process.pid}`);
const at = process.env.SOCKET ? { path: process.env.SOCKET } : { port: 3000, host: 'localhost' };
app.listen(at).then(() => process.send && process.send('ready'));
