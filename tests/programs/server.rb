require 'webrick'
server = WEBrick::HTTPServer.new(BindAddress: '0.0.0.0', Port: 3000, AccessLog: [], Logger: WEBrick::Log.new(File::NULL))
# Each request is written down, if there is a folder for that.
record = ENV['RECORD'] && File.open("#{ENV['RECORD']}/#{Process.pid}", 'a')
server.mount_proc('/') do |request, response|
  record&.syswrite("#{request.path}\n")
  sleep 0.02
  response.body = "pid #{Process.pid}"
end
server.start
