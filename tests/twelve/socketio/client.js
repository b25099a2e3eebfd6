// Twenty clients that use WebSocket alone. Each is greeted by its instance.
const { WebSocket } = require('ws');
const greeted = () =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket('ws://localhost:3000/socket.io/?EIO=4&transport=websocket');
    socket.on('error', reject);
    socket.on('open', () => socket.send('40'));
    socket.on('message', (message) => `${message}`.startsWith('42["hi"') && resolve(socket.close()));
  });
Promise.all(Array.from({ length: 20 }, greeted)).then(() => console.log('all greeted'));
