// The one that listens is a child of the main process, as with `npm start`.
require('child_process').spawn(process.execPath, [`${__dirname}/node4.js`], { stdio: 'inherit' });
