// A consumer of a queue that says when it is ready, and ends by PM2's message.
setTimeout(() => process.send('ready'), 300);
setInterval(() => {}, 1000);
process.on('message', (message) => {
  console.log(`told ${message}`);
  if (message === 'shutdown') process.exit(0);
});
process.on('SIGINT', () => console.log('told SIGINT'));
