variable "account" {
  description = "Email of the account that the job runs as."
  type        = string
}

variable "args" {
  description = "Arguments of the command, where an execution gives none."
  type        = list(string)
  default     = null
}

variable "command" {
  description = "What the job runs, in the image's folder."
  type        = list(string)
}

variable "environment" {
  description = "Settings of the program by the name of their variable."
  type        = map(string)
}

variable "image" {
  description = "Image that the job runs; null for none, which leaves the job out."
  type        = string
}

variable "name" {
  description = "Name of the job without tally-."
  type        = string
}

variable "network" {
  description = "Network and subnetwork through which the database is reached."
  type        = object({ network = string, subnetwork = string })
}

variable "region" {
  description = "Region of the job."
  type        = string
}

variable "timeout" {
  description = "Seconds after which an execution is ended."
  type        = number
}
