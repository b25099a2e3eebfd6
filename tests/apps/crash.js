throw new Error('this build crashes at its start');
