// Twenty clients until standard input ends; prints how many requests were answered and what failed.
const https = require('https');
const keepAlive = process.argv[2] === 'keep-alive';
const agent = new https.Agent({ keepAlive, maxSockets: 20, rejectUnauthorized: false });
const count = { answered: 0 };
let ends = false;

function ask() {
  if (ends) return;
  const done = (what) => {
    count[what] = (count[what] ?? 0) + 1;
    setTimeout(ask, 40);
  };
  const request = https.get({ port: 3000, host: '127.0.0.1', agent, timeout: 30000 }, (response) => {
    response.resume().on('end', () => done('answered')).on('error', (error) => done(error.code));
  });
  request.on('timeout', () => request.destroy(new Error('timeout')));
  request.on('error', (error) => done(error.code ?? error.message));
}

for (let client = 0; client < 20; client++) ask();
const { existsSync, writeFileSync } = require('fs');
const timer = setInterval(() => {
  writeFileSync('/tmp/answered', String(count.answered));
  if (existsSync('/tmp/end')) {
    ends = true;
    clearInterval(timer);
    setTimeout(() => { console.log(JSON.stringify(count)); process.exit(0); }, 1000);
  }
}, 100);
