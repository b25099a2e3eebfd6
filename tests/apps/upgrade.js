// Echoes what it receives on upgraded connections, like a WebSocket server without the framing.
const server = require('http').createServer((request, response) => response.end(`pid ${process.pid}`));
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
  socket.on('data', (data) => socket.write(data)).on('error', () => {});
});
server.listen(3000);
