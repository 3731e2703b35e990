import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.SingleValidationMessage;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.BufferedWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.instance.model.api.IBaseResource;

/**
 * Runs HL7's validator over a folder: {@code Validate DEFINITIONS RESOURCES OUTPUT}. DEFINITIONS and RESOURCES are
 * folders of JSON files; OUTPUT gets a line of JSON for each resource, with what the validator says of it.
 */
public class Validate {
  public static void main(String[] arguments) throws Exception {
    FhirContext context = FhirContext.forR4();
    FhirValidator validator = context.newValidator();
    validator.registerValidatorModule(instanceValidator(context, Path.of(arguments[0])));
    try (Stream<Path> paths = Files.list(Path.of(arguments[1]));
        BufferedWriter output = Files.newBufferedWriter(Path.of(arguments[2]))) {
      List<Path> files = paths.sorted().collect(Collectors.toList());
      for (Path file : files) {
        output.write(judged(validator, file).toString());
        output.newLine();
      }
    }
  }

  private static FhirInstanceValidator instanceValidator(FhirContext context, Path definitions) throws Exception {
    PrePopulatedValidationSupport guides = new PrePopulatedValidationSupport(context);
    try (Stream<Path> paths = Files.list(definitions)) {
      for (Path file : paths.sorted().collect(Collectors.toList())) {
        IBaseResource resource = context.newJsonParser().parseResource(Files.readString(file));
        guides.addResource(resource);
      }
    }
    ValidationSupportChain chain =
        new ValidationSupportChain(
            new DefaultProfileValidationSupport(context),
            guides,
            new CommonCodeSystemsTerminologyService(context),
            new InMemoryTerminologyServerValidationSupport(context),
            new SnapshotGeneratingValidationSupport(context));
    FhirInstanceValidator validator = new FhirInstanceValidator(chain);
    validator.setAnyExtensionsAllowed(true);
    validator.setErrorForUnknownProfiles(false);
    validator.setNoTerminologyChecks(false);
    return validator;
  }

  private static JsonObject judged(FhirValidator validator, Path file) {
    JsonObject line = new JsonObject();
    line.addProperty("file", file.getFileName().toString());
    JsonArray messages = new JsonArray();
    try {
      for (SingleValidationMessage each : validator.validateWithResult(Files.readString(file)).getMessages()) {
        JsonObject message = new JsonObject();
        message.addProperty("severity", String.valueOf(each.getSeverity()).toLowerCase());
        message.addProperty("place", each.getLocationString());
        message.addProperty("id", each.getMessageId());
        message.addProperty("text", each.getMessage());
        messages.add(message);
      }
    } catch (Exception | StackOverflowError error) {
      line.addProperty("failed", String.valueOf(error));
    }
    line.add("messages", messages);
    return line;
  }
}
