# The bucket is given at init, since it is another one in each project: README.md.
terraform {
  backend "gcs" {
    prefix = "tally"
  }
}
