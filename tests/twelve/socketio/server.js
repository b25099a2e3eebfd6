const server = require('http').createServer();
const io = new (require('socket.io').Server)(server);
io.on('connection', (socket) => socket.emit('hi', process.pid));
server.listen(process.env.PORT);
