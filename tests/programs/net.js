const answer = `pid ${process.pid}`;
const head = `HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${answer.length}\r\n\r\n`;
require('net').createServer((socket) => {
  socket.on('error', () => {});
  socket.once('data', () => setTimeout(() => socket.end(head + answer), 20));
}).listen(3000);
