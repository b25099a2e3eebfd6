// What most programs are: no handler for any signal, and answers that take a moment.
const http = require('http');
const whoami = `pid ${process.pid}`;
http.createServer((request, response) => setTimeout(() => response.end(whoami), 20)).listen(3000);
