// Predict with the coefficients on standard input (a JSON array) and the design matrix in a file: actual and predicted.
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;

public class Score {
    public static void main(String[] argument) throws Exception {
        String json = new String(System.in.readAllBytes()).trim();
        double[] coefficients = Arrays.stream(json.substring(1, json.length() - 1).split(","))
                .mapToDouble(Double::parseDouble).toArray();
        List<String> lines = Files.readAllLines(Path.of(argument[0]));
        double squares = 0;
        try (PrintWriter out = new PrintWriter(argument[1])) {
            out.println("actual,predicted");
            for (String line : lines.subList(1, lines.size())) {
                String[] cells = line.split(",");
                double predicted = 0;
                for (int at = 0; at < coefficients.length; at++) {
                    predicted += coefficients[at] * Double.parseDouble(cells[at]);
                }
                double actual = Double.parseDouble(cells[cells.length - 1]);
                squares += (actual - predicted) * (actual - predicted);
                out.println(actual + "," + predicted);
            }
        }
        double root = Math.sqrt(squares / (lines.size() - 1));
        Files.writeString(Path.of(System.getenv("HEADRACE_TRACK")),
                "{\"metric\": \"root mean square\", \"value\": " + root + "}\n", StandardOpenOption.APPEND);
        System.out.println("predicted " + (lines.size() - 1) + " flights");
    }
}
