# Fit a linear model on one table and write the design matrix of another with the coefficients.
argument <- commandArgs(trailingOnly = TRUE)
train <- read.csv(argument[2])
test <- read.csv(argument[3])
model <- lm(as.formula(argument[1]), data = train)

coefficients <- coef(model)
coefficients[is.na(coefficients)] <- 0
known <- test$carrier %in% train$carrier  # airlines that the model has never seen are predicted like the first one
test$carrier[!known] <- train$carrier[1]
design <- model.matrix(delete.response(terms(model)), test, xlev = model$xlevels)
write.csv(cbind(as.data.frame(design), actual = test$gain), argument[4], row.names = FALSE)
cat("[", paste(format(coefficients, digits = 15), collapse = ", "), "]\n", file = argument[5])

track <- Sys.getenv("HEADRACE_TRACK")
cat(sprintf('{"metric": "r squared", "value": %.6f}\n', summary(model)$r.squared), file = track, append = TRUE)
cat("fitted", length(coefficients), "coefficients to", nrow(train), "flights\n")
