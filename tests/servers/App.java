// The test contract (see app.py) on Java's built-in server.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

public class App {
    static void handle(HttpExchange exchange) throws IOException {
        long size = 0;
        try (InputStream body = exchange.getRequestBody()) {
            byte[] piece = new byte[65536];
            for (int n; (n = body.read(piece)) >= 0; ) size += n;
        }
        String[] parts = exchange.getRequestURI().getPath().substring(1).split("/");
        int status = 200;
        byte[] body = (size + "\n").getBytes();
        switch (parts[0]) {
            case "status" -> { status = Integer.parseInt(parts[1]); body = "status\n".getBytes(); }
            case "bytes" -> body = new byte[Integer.parseInt(parts[1])];
            case "chunked" -> {
                exchange.sendResponseHeaders(200, 0);
                try (OutputStream out = exchange.getResponseBody()) {
                    for (int i = 0; i < Integer.parseInt(parts[1]); i++) {
                        out.write(new byte[Integer.parseInt(parts[2])]);
                        out.flush();
                    }
                }
                return;
            }
            case "sleep" -> {
                try {
                    Thread.sleep(Integer.parseInt(parts[1]));
                } catch (InterruptedException interrupted) {
                    throw new IOException(interrupted);
                }
                body = "slept\n".getBytes();
            }
            default -> { }
        }
        boolean bare = exchange.getRequestMethod().equals("HEAD") || status == 204 || status == 304;
        if (exchange.getRequestMethod().equals("HEAD")) {
            exchange.getResponseHeaders().set("Content-Length", Integer.toString(body.length));
        }
        exchange.sendResponseHeaders(status, bare ? -1 : body.length);
        if (!bare) {
            try (OutputStream out = exchange.getResponseBody()) {
                out.write(body);
            }
        }
        exchange.close();
    }

    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 1024);
        server.createContext("/", App::handle);
        server.setExecutor(Executors.newCachedThreadPool());
        server.start();
        System.out.println("PORT " + server.getAddress().getPort());
    }
}
