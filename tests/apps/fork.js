// A child of the main process listens, as with `npm start`.
require('child_process').spawn(process.execPath, [`${__dirname}/node4.js`], { stdio: 'inherit' });
