// A server that uses 150 MiB more on SIGUSR2, for as long as it runs.
const http = require('http');
const held = [];
process.on('SIGUSR2', () => held.push(Buffer.alloc(150 * 2 ** 20, 1)));
http.createServer((request, response) => setTimeout(() => response.end(`pid ${process.pid}`), 5)).listen(3000);
