require('fs').appendFileSync('cleaned', 'once\n');
