// A server like most programs: it handles no signal, and an answer takes a moment.
const http = require('http');
const whoami = `pid ${process.pid}`;
http.createServer((request, response) => setTimeout(() => response.end(whoami), 20)).listen(3000);
