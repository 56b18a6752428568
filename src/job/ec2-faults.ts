/** What an error of EC2 means for a start, by its code. Pure. */

/**
 * denied: the permission or the credentials are missing, asking again cannot help · throttled · capacity: EC2 has no room
 * for this instance now · gone: there is no such instance · state: not startable in the state it is in · refused: EC2
 * said no for another reason · unknown: no answer, so the start may have been made or not.
 */
export type Ec2Trouble = "denied" | "throttled" | "capacity" | "gone" | "state" | "refused" | "unknown";

const TROUBLES: readonly { is: RegExp; trouble: Ec2Trouble }[] = [
  {
    is: /^(UnauthorizedOperation|AuthFailure|AccessDenied(Exception)?|InvalidClientTokenId|SignatureDoesNotMatch|OptInRequired|MissingAuthenticationToken|Blocked|PendingVerification|CredentialsProviderError|TokenProviderError|ExpiredToken(Exception)?)$/,
    trouble: "denied",
  },
  {
    is: /^(RequestLimitExceeded|Throttling(Exception)?|EC2ThrottledException|TooManyRequestsException|SlowDown)$/,
    trouble: "throttled",
  },
  {
    is: /^(Insufficient(Instance|Host|ReservedInstance|Address|FreeAddressesInSubnet)?Capacity|InsufficientCapacityOnHost|(Instance|Vcpu|MaxSpotInstanceCount|ReservedInstances)LimitExceeded|MaxSpotInstanceCountExceeded)$/,
    trouble: "capacity",
  },
  { is: /^InvalidInstanceID/, trouble: "gone" },
  { is: /^(IncorrectInstanceState|IncorrectState)$/, trouble: "state" },
];

/** `isAnswer`: EC2 itself answered with this code, and it is the caller's fault. */
export function troubleOf(code: string, isAnswer: boolean): Ec2Trouble {
  return (
    TROUBLES.find(({ is }) => is.test(code))?.trouble ?? (isAnswer && code !== "RequestExpired" ? "refused" : "unknown")
  );
}
