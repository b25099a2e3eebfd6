// A server as in Node's documentation: on the signal it accepts no more connections and finishes its requests.
const http = require('http');
const hello = `version 1, instance ${process.env.NODE_APP_INSTANCE}, pid ${process.pid}`;
const server = http.createServer((request, response) => setTimeout(() => response.end(hello), 5));
process.on('SIGINT', () => server.close(() => process.exit(0)));
server.listen(3000);
