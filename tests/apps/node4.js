const http = require('http');
const whoami = `${process.env.NODE_APP_INSTANCE} ${process.pid}`;
const server = http.createServer((request, response) => response.end(whoami));
server.listen(3000);
