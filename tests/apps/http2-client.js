// Opens one session with a quick and a slow request, and prints the events in their order.
const session = require('http2').connect('http://127.0.0.1:3000');
const said = [];
session.once('goaway', (code) => said.push('goaway', code));
session.on('close', () => console.log([...said, 'close'].join(' ')));
session.on('error', (error) => said.push(error.code));
const ask = (path, then) => {
  const stream = session.request({ ':path': path });
  stream.on('response', (headers) => said.push(headers[':status']));
  stream.on('error', (error) => said.push(error.code));
  stream.on('end', then).resume();
};
ask('/0', () => {
  ask('/3000', () => {});
  require('fs').writeFileSync('/tmp/asked', '');
});
