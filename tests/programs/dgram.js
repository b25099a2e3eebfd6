const socket = require('dgram').createSocket('udp4');
const answer = (message, from) => socket.send(`${process.pid} ${message}`, from.port, from.address);
socket.on('message', (message, from) => setTimeout(answer, 20, message, from));
socket.bind(3000);
