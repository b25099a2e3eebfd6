module.exports = {
  apps: [
    {
      name: 'django',
      cwd: '/srv/django',
      script: '/srv/django/venv/bin/gunicorn',
      args: 'shop.wsgi:application -b 0.0.0.0:8000 -w 1',
      interpreter: 'none',
      uid: 'www-data',
      gid: 'www-data',
    },
    {
      name: 'behind-nginx',
      script: 'venv/bin/gunicorn',
      args: ['shop.wsgi', '--bind', 'unix:/run/shop/shop.sock'],
      interpreter: 'none',
    },
  ],
};
