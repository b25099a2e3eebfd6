const http = require('http');
http.createServer((request, response) => {
  setTimeout(() => response.end(`pid ${process.pid}`), 20);
}).listen(3000);
