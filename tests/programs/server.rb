require 'webrick'
server = WEBrick::HTTPServer.new(BindAddress: '0.0.0.0', Port: 3000, AccessLog: [], Logger: WEBrick::Log.new(File::NULL))
server.mount_proc('/') do |_request, response|
  sleep 0.02
  response.body = "pid #{Process.pid}"
end
server.start
