const socket = require('dgram').createSocket('udp4');
socket.on('message', (message, from) => socket.send(`${process.pid} ${message}`, from.port, from.address));
socket.bind(3000);
