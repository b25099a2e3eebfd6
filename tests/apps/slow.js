const http = require('http');
const server = http.createServer((request, response) => response.end(process.env.NODE_APP_INSTANCE));
setTimeout(() => server.listen(3000), 1000);
