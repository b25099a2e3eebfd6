// What Node's own documentation tells people to write: on the signal, take no more and finish.
const http = require('http');
const hello = `version 1, instance ${process.env.NODE_APP_INSTANCE}, pid ${process.pid}`;
const server = http.createServer((request, response) => setTimeout(() => response.end(hello), 5));
server.listen(3000);
process.on('SIGINT', () => server.close(() => process.exit(0)));
