// HTTP/2 without TLS; an answer at /1500 takes so many milliseconds.
const http2 = require('http2');
http2.createServer((request, response) => {
  setTimeout(() => response.end(`pid ${process.pid}`), Number(request.url.slice(1)));
}).listen(3000);
