// Serves HTTP/2 without TLS. An answer to /1500 takes 1500 ms.
const http2 = require('http2');
http2.createServer((request, response) => {
  setTimeout(() => response.end(`pid ${process.pid}`), Number(request.url.slice(1)));
}).listen(3000);
